#!/bin/sh
# Everything of a release but the upload, into dist/:  make release
#   --check      only see whether the checkout can be released
#   SKIP_TESTS   why `make test` is left out; the summary says it
#   PYTHON       an interpreter with the development tools (.venv/bin/python if not given)
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

fail() {
    echo "make release: $1" >&2
    exit 1
}
version_in() {
    sed -nE 's/^VERSION = "(.+)"$/\1/p' "$1"
}

version=$(version_in deploy/cli/__init__.py)
client=$(version_in client/magnet_client/version.py)
[ "$client" = "$version" ] ||
    fail "the client's version is $client, the product's $version: make VERSION equal in deploy/cli/__init__.py and client/magnet_client/version.py"
[ -z "$(git status --porcelain)" ] ||
    fail "the working tree is not clean: commit what belongs to the release, remove the rest (git status lists both)"
grep -qE "^## $version( |$)" CHANGELOG.md ||
    fail "CHANGELOG.md has no section '## $version': rename '## Unreleased', and commit"
tagged=$(git rev-parse --quiet --verify "refs/tags/v$version^{commit}" || true)
[ -z "$tagged" ] || [ "$tagged" = "$(git rev-parse HEAD)" ] ||
    fail "the tag v$version is on another commit: raise VERSION"

[ "${1:-}" != --check ] || exit 0

if [ -n "${SKIP_TESTS:-}" ]; then
    tested="NOT tested: $SKIP_TESTS"
else
    make test
    tested="tested: make test"
fi

rm -rf dist
# The same commit makes the same files.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
for project in . client; do
    "$python" -m build --no-isolation --outdir dist "$project"
done
"$python" -m twine check --strict dist/*
if command -v npm >/dev/null; then
    echo "Packing the TypeScript client (npm fetches its tools)"
    (cd client/typescript && npm ci --silent --ignore-scripts && npm pack --silent --pack-destination ../../dist)
else
    echo "npm is not installed: the TypeScript client is not packed" >&2
fi
echo "Installing what was built into clean environments, and running it (minutes)"
DIST=$PWD/dist "$python" -m pytest -m wheel tests/deploy/test_installed.py
(cd dist && { sha256sum ./* 2>/dev/null || shasum -a 256 ./*; } >../SHA256SUMS && mv ../SHA256SUMS .)

cat <<END

Release $version of $(git rev-parse --short HEAD), $tested. In dist/:
$(cat dist/SHA256SUMS)

Next:
  git tag v$version && git push origin v$version
  $python -m twine upload --repository NAME dist/*.whl dist/*.tar.gz
  npm publish dist/magnet-client-$version.tgz   # once "private" is gone from client/typescript/package.json
  for image in service trainer; do
      docker build --target \$image --tag REGISTRY/magnet-\$image:$version \\
          --build-arg VERSION=$version --build-arg REVISION=$(git rev-parse HEAD) . &&
          docker push REGISTRY/magnet-\$image:$version
  done
NAME is an index of your own in ~/.pypirc. PyPI takes the packages once "Private :: Do Not Upload"
is gone from both pyproject.toml.
END
