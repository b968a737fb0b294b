"""Losses of redshift models."""

from kphotoz.losses.redshift import HSCLoss, RobustLoss

__all__ = ["HSCLoss", "RobustLoss"]
