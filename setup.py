"""Build kphotoz, kphotoz_cli and kphotoz_datasets from one flat checkout."""

from setuptools import find_packages, setup

# Install name -> folder at the top of the checkout.
RENAMED = {"kphotoz_cli": "cli", "kphotoz_datasets": "datasets"}


def installed_packages() -> list[str]:
    """Returns every import name this distribution installs."""
    names = find_packages(include=["kphotoz", "kphotoz.*"])
    for install_name, folder in RENAMED.items():
        found = find_packages(include=[folder, f"{folder}.*"])
        names += [install_name + name[len(folder) :] for name in found]
    return names


setup(packages=installed_packages(), package_dir=RENAMED)
