#!/bin/sh
# Pins the images of Dockerfile and docker-compose.yml to what their tags mean now: NAME:TAG@sha256:...
# Docker asks their registries. Run it before a release, build, test, and commit what it has changed;
# run again, it moves the pins on.
set -eu
cd "$(dirname "$0")/.."

images=$({ sed -nE 's/^FROM ([^ ]+[:@][^ ]+) AS .*/\1/p' Dockerfile
    sed -nE 's/^ *image: *([^ ]+)$/\1/p' docker-compose.yml; } | sort -u)
for image in $images; do
    name=${image%@*}
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$name")
    case $digest in
        sha256:????????????????????????????????????????????????????????????????) ;;
        *) echo "the registry names no digest of $name: $digest" >&2; exit 1 ;;
    esac
    for file in Dockerfile docker-compose.yml; do
        sed -E "s|( )$name(@sha256:[0-9a-f]+)?( AS .*)?\$|\1$name@$digest\3|" "$file" > "$file.pinned"
        cat "$file.pinned" > "$file"
        rm "$file.pinned"
    done
    echo "$name@$digest"
done
