#!/usr/bin/env bash
# Fetches the jars named by a pom.xml from Maven Central. $1: folder of the pom.xml, $2: folder for the jars.
# Called by tests/run for the Druid suites; needs a JDK 17 and Maven. About 200 MiB for Druid, 40 MiB for Kafka.
set -euo pipefail
pom=$1/pom.xml out=$2
[ -e "$out/.complete" ] && exit
rm -rf "$out.partial"
mkdir -p "$out.partial"
mvn --batch-mode --quiet --file "$pom" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$(realpath "$out.partial")"
touch "$out.partial/.complete"
rm -rf "$out"
mv "$out.partial" "$out"
