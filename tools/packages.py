"""Build Crossplane's packages, Configuration and Function, in `build/packages`: `make packages`.

The function's package holds its image, which Docker or buildah builds. Where neither is there, this is said and the
package is built without it: good for looking at and for tests, not for installing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import images
import packages_content as content
from generated import settle
from go_tools_build import cache
from go_tools_plan import read_plan

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "packages"


def crossplane() -> Path:
    """Return Crossplane's command line as `make tools` builds it.

    Raises:
        BuildError: It is not built.
    """
    tool = read_plan((ROOT / "tools" / "versions.toml").read_text()).tools["crossplane"]
    if not (place := cache(os.environ).place(tool)).exists():
        raise images.BuildError(f"crossplane {tool.version} is not built; `make tools TOOLS=crossplane` builds it")
    return place


def pack(program: Path, root: Path, target: Path, image: Path | None = None) -> Path:
    """Build one package of the files in `root`, with the image's archive in it.

    Raises:
        BuildError: Crossplane's command line refuses the files, and says why.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # Its default for examples is ./examples, which here are of handlers.
    command = [str(program), "xpkg", "build", f"--package-root={root}", f"--package-file={target}"]
    command.append(f"--examples-root={root / 'no-examples'}")
    if image is not None:
        command.append(f"--embed-runtime-image-tarball={image}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise images.BuildError(f"{target.name}: {done.stderr.strip() or done.stdout.strip()}")
    return target


def build_all(folder: Path, architectures: list[str], base: str | None) -> list[Path]:
    """Build both packages, the function's once for each architecture, and return their files.

    Raises:
        BuildError: One cannot be built.
    """
    program = crossplane()
    configuration, function = content.assemble(folder)
    built = [pack(program, configuration, folder / "configuration-asya.xpkg")]
    made_by = images.builder(os.environ)
    if made_by is None:
        print("neither a Docker daemon nor buildah is here: function-asya.xpkg holds no image", file=sys.stderr)
        return [*built, pack(program, function, folder / "function-asya.xpkg")]
    image = images.IMAGES["function-asya"]
    for architecture in architectures:
        archive = images.build(image, made_by, content.version(), architecture, base, images.FOLDER)
        built.append(pack(program, function, folder / f"function-asya-{architecture}.xpkg", archive))
    return built


def main() -> int:
    """Build, write or check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    todo = parser.add_mutually_exclusive_group()
    todo.add_argument("--write", action="store_true", help="only write what is generated in crossplane/configuration")
    todo.add_argument("--check", action="store_true", help="fail when what is generated there is out of step")
    parser.add_argument("--architectures", default=images.own_architecture(), help="such as amd64,arm64")
    parser.add_argument("--base", help="base image in the builder's store, instead of the Dockerfile's own")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where packages go (default: build/packages)")
    options = parser.parse_args()
    if options.write or options.check:
        return settle(content.generated(), check=options.check, again="generate")
    try:
        for path in build_all(options.folder.resolve(), options.architectures.split(","), options.base):
            print(f"{path} {path.stat().st_size / 1e6:.1f} MB")
    except images.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
