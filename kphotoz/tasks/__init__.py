"""What is predicted from what."""

from kphotoz.tasks.redshift import RedshiftTask

__all__ = ["RedshiftTask"]
