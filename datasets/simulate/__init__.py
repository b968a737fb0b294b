"""Makes the galaxies of the mock surveys: who they are, what is known, how they look.

Arrays in, arrays out: nothing here imports TensorFlow, so that the processes which
draw the stamps start in under a second.
"""
