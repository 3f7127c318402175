#!/bin/sh
# Makes what docker-compose.yml asks for and nobody else may know: .env with passwords and API keys,
# and .keys/keys.txt with the hashes of the keys. What is there already stays as it is.
#
#   sh deploy/secrets.sh
set -eu
cd "$(dirname "$0")/.."
umask 077

random() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# NAME SCOPES KEY -> the line that the service stores
stored() { printf '%s %s %s\n' "$1" "$2" "$(printf %s "$3" | sha256sum | cut -d ' ' -f 1)"; }

if [ -e .env ]; then
    echo ".env is there already; nothing to do" >&2
    exit 0
fi
client="mgk_$(random)" admin="mgk_$(random)" metrics="mgk_$(random)"
mkdir -p .keys
{
    stored client read,feedback "$client"
    stored admin read,admin "$admin"
    stored prometheus metrics "$metrics"
} >.keys/keys.txt
# The service reads it under a user of its own; a hash of 256 random bits tells nothing.
chmod 755 .keys
chmod 644 .keys/keys.txt
cat >.env.new <<END
# Made by deploy/secrets.sh. To change a password: here, then docker compose up --detach.
# To add or remove an API key: magnet keys --help, with --file .keys/keys.txt.
REDIS_ADMIN_PASSWORD=$(random)
REDIS_SERVICE_PASSWORD=$(random)
REDIS_TRAINER_PASSWORD=$(random)
GRAFANA_PASSWORD=$(random)
MAGNET_CLIENT_KEY=$client
MAGNET_ADMIN_KEY=$admin
MAGNET_METRICS_KEY=$metrics
END
mv .env.new .env
echo "made .env and .keys/keys.txt" >&2
