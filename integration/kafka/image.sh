#!/usr/bin/env bash
# Builds a Docker image with Apache Kafka for the tests, for machines that can pull none: image.sh [apache/kafka:4.1.1]
#
# Needs root, Debian, debootstrap, a Docker daemon, and the jars of `./test --prepare`. As in Kafka's own image, `/opt/kafka/bin` has
# `kafka-storage.sh`, `kafka-server-start.sh` and `kafka-broker-api-versions.sh`, and a container's command starts a server whose
# properties are KAFKA_… variables. There is no more of it here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
reference=${1:-apache/kafka:4.1.1}
jars=${SIO_TEST_KAFKA_HOME:-$PWD/.test-env/kafka}/libs

die() { printf 'image.sh: %s\n' "$*" >&2; exit 1; }
docker info >/dev/null 2>&1 || die "no Docker daemon answers: install docker.io and start dockerd first"
command -v debootstrap >/dev/null || die "debootstrap is missing (apt-get install debootstrap)"
[ -d "$jars" ] || die "there is no $jars: run ./test --prepare first"
docker image inspect "$reference" >/dev/null 2>&1 && { echo "$reference: present"; exit; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -1)
# Packages of this machine's own are trusted as they are here.
debootstrap --variant=minbase --include=openjdk-17-jre-headless "$release" "$root" "$mirror" >"$root.log" 2>&1 ||
  die "debootstrap failed: $(tail -5 "$root.log")"
rm -f "$root.log"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*

mkdir -p "$root/opt/kafka/bin"
cp -r "$jars" "$root/opt/kafka/libs"
program() { # NAME CLASS
  printf '#!/bin/sh\nexec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "/opt/kafka/libs/*" %s "$@"\n' "$2" \
    >"$root/opt/kafka/bin/$1"
  chmod +x "$root/opt/kafka/bin/$1"
}
program kafka-storage.sh kafka.tools.StorageTool
program kafka-server-start.sh kafka.Kafka
program kafka-broker-api-versions.sh org.apache.kafka.tools.BrokerApiVersionsCommand
cat >"$root/opt/kafka/start.sh" <<'END'
#!/bin/sh
# KAFKA_NODE_ID=1 is node.id=1.
env | grep '^KAFKA_' | while IFS='=' read -r name value; do
  printf '%s=%s\n' "$(printf '%s' "${name#KAFKA_}" | tr 'A-Z_' 'a-z.')" "$value"
done >/tmp/server.properties
echo log.dirs=/tmp/kafka-logs >>/tmp/server.properties
/opt/kafka/bin/kafka-storage.sh format --cluster-id sio-for-its-tests-0001 --config /tmp/server.properties
exec /opt/kafka/bin/kafka-server-start.sh /tmp/server.properties
END
chmod +x "$root/opt/kafka/start.sh"
tar -C "$root" -c . | docker import --change 'EXPOSE 9092' --change 'CMD ["/opt/kafka/start.sh"]' - "$reference" >/dev/null
echo "$reference: built"
