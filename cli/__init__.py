"""The kphotoz command; installed as kphotoz_cli."""
