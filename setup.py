"""Packaging from settings.ini, the one place that holds the metadata."""
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
ini = ConfigParser()
ini.read(here / "settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]
extras = {key.removesuffix("_requirements"): text.split() for key, text in cfg.items() if key.endswith("_requirements")}
together = lambda *names: sorted({what for name in names for what in extras[name]})
extras["reproduce"] = together("reproduce", *cfg["reproduce_extras"].split())
extras["dev"] = together(*extras)
version = (here / "crimenb" / "__init__.py").read_text(encoding="utf-8").split('"')[1]
source = cfg["repository"]

def for_an_index(readme):
    "The README for a page that is not beside the files: relative links lead to the source, pictures to their bytes."
    readme = re.sub(r"(!\[[^\]]*\]\()(?![a-z]+:|#)", rf"\g<1>{source}/raw/main/", readme)
    return re.sub(r"(?<!!)(\[[^\]]*\]\()(?![a-z]+:|#)", rf"\g<1>{source}/blob/main/", readme)

setup(
    name=cfg["lib_name"],
    version=version,
    description=cfg["description"],
    long_description=for_an_index((here / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license_expression=cfg["license"],
    license_files=["LICENSE"],
    url=source,
    project_urls={"Source": source, "Changes": f"{source}/blob/main/CHANGELOG.md", "Issues": f"{source}/issues"},
    keywords=cfg["keywords"].split(),
    python_requires=">=" + cfg["min_python"],
    classifiers=["Development Status :: 4 - Beta", "Framework :: Jupyter", "Intended Audience :: Education", "Intended Audience :: Science/Research",
                 "Operating System :: OS Independent", "Programming Language :: Python :: 3",
                 *(f"Programming Language :: Python :: {number}" for number in cfg["pythons"].split()),
                 "Topic :: Scientific/Engineering :: GIS", "Topic :: Scientific/Engineering :: Artificial Intelligence", "Typing :: Typed"],
    # The reproduction notebooks and the recorded results are data of the package, under names inside it.
    packages=find_packages(include=["crimenb", "crimenb.*"]) + ["crimenb.reproduce", "crimenb.results"],
    package_dir={"crimenb.reproduce": "nbs/reproduce", "crimenb.results": "data/results"},
    package_data={"crimenb": ["*.json", "*.csv", "py.typed"], "crimenb.reproduce": ["*.ipynb", "params/*.yaml"], "crimenb.results": ["*.json"]},
    include_package_data=False,
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    entry_points={"console_scripts": ["crimenb = crimenb.lab.cli:main"]},
)
