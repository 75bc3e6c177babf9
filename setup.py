"""Packaging from settings.ini, the one place that holds the metadata."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
ini = ConfigParser()
ini.read(here / "settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]
extras = {
    name: cfg[f"{name}_requirements"].split()
    for name in ("reproduce", "statistics", "explain", "maps", "geo", "docs", "scale", "fast", "dev")
}
extras["dev"] += sum((extras[name] for name in extras if name != "dev"), [])
version = (here / "crimenb" / "__init__.py").read_text().split('"')[1]

setup(
    name=cfg["lib_name"],
    version=version,
    description=cfg["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license=cfg["license"],
    keywords=cfg["keywords"].split(),
    python_requires=">=" + cfg["min_python"],
    license_files=["LICENSE"],
    classifiers=["Operating System :: POSIX", "Programming Language :: Python :: 3", "Intended Audience :: Science/Research"],
    # The reproduction notebooks and the recorded results are data of the package, under names inside it.
    packages=find_packages(include=["crimenb", "crimenb.*"]) + ["crimenb.reproduce", "crimenb.results"],
    package_dir={"crimenb.reproduce": "nbs/reproduce", "crimenb.results": "data/results"},
    package_data={"crimenb": ["*.json", "*.csv"], "crimenb.reproduce": ["*.ipynb", "params/*.yaml"], "crimenb.results": ["*.json"]},
    include_package_data=False,
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    entry_points={"console_scripts": ["crimenb = crimenb.lab.cli:main"]},
)
