"""What the documents promise about the repository itself."""

import re

import pytest

from conftest import ROOT
from refdiff import __version__

if not (ROOT / ".ci").exists():
    pytest.skip("these files are not part of the source distribution", allow_module_level=True)


def test_ci_runs_the_commands_of_the_readme():
    readme, script = (ROOT / "README.md").read_text("utf-8"), (ROOT / ".ci/run").read_text("utf-8")
    install_and_test, example = (re.search(rf"^    (.*{words}.*)$", readme, re.M)[1]
                                 for words in ("python -m pytest", "&& refdiff segment"))
    assert f"\n{install_and_test} " in script
    assert f"\n{example.split('&& ')[1]} " in script


def test_the_version_is_the_same_everywhere():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\n## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
