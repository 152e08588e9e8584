"""All but one thing stands in pyproject.toml: the example configs go into a wheel as jaxnas/configs."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIGS = [str(path) for path in sorted(Path("configs").glob("*.py"))]


class WithConfigs(build_py):
    """An editable installation finds them where they lie."""

    def run(self):
        super().run()
        if not self.editable_mode:
            self.mkpath(f"{self.build_lib}/jaxnas/configs")
            for path in CONFIGS:
                self.copy_file(path, f"{self.build_lib}/jaxnas/{path}")

    def get_source_files(self):
        """Of a source distribution, too."""
        return [*super().get_source_files(), *CONFIGS]


setup(cmdclass={"build_py": WithConfigs})
