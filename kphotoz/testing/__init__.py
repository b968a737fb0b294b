"""Checks that other projects call in tests of their own models and layers."""

from kphotoz.testing.contract import run_adapter_contract
from kphotoz.testing.contract_report import ContractReport

__all__ = ["ContractReport", "run_adapter_contract"]
