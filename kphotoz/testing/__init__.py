"""Checks that other projects call in tests of their own models and layers."""

from kphotoz.testing.contract import run_adapter_contract

__all__ = ["run_adapter_contract"]
