#!/bin/sh
# Starts the server with one user for the service and one for the trainer, whose passwords come from
# the environment and reach neither a command line nor a file. Nobody else gets in, except to ping.
# The default user is for people (--user default --pass ...) and must not be switched off: Redis 7.0
# replays its append-only file as that user, and without rights loses every transaction in it.
set -eu
: "${REDIS_ADMIN_PASSWORD:?is not set}"
: "${REDIS_SERVICE_PASSWORD:?is not set}" "${REDIS_TRAINER_PASSWORD:?is not set}"
server=$(command -v valkey-server || command -v redis-server)
exec "$server" "$(dirname "$0")/redis.conf" - <<END
user default on >$REDIS_ADMIN_PASSWORD ~* &* +@all
user probe on nopass -@all +ping
user magnet-service on >$REDIS_SERVICE_PASSWORD resetkeys resetchannels -@all +@read +@write +@transaction +@connection +@pubsub +@scripting -@dangerous +time +cluster|slots +info %R~mg:default:v:* ~mg:default:v:*:user_embeddings:* ~mg:default:v:*:seen_items:* ~mg:{default}:* ~mg:default:live:* &mg:{default}:events
user magnet-trainer on >$REDIS_TRAINER_PASSWORD resetkeys resetchannels -@all +@read +@write +@transaction +@connection +@pubsub -@dangerous +time +cluster|slots +info ~mg:default:v:* ~mg:{default}:* &mg:{default}:events
END
