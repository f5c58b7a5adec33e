#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The files that the patch series adds must be those of ../module.
set -eu
cd "$(dirname "$0")/.."

added=$(mktemp -d)
trap 'rm -rf "$added"' EXIT
# From each patch, the files that come from /dev/null.
awk -v dir="$added" '
	/^diff --git / { out = "" }
	/^--- / { new = $2 == "/dev/null" }
	/^\+\+\+ b\// { if (new) { path = substr($2, 3); gsub("/", "!", path); out = dir "/" path } next }
	/^@@ / || /^-- $/ { next }
	out != "" && /^\+/ { print substr($0, 2) >out }
' patches/linux-6.1/*.patch

different=0
while read -r ours theirs; do
	diff -u "module/$ours" "$added/$(echo "$theirs" | tr / !)" || different=1
done <scripts/shared-files
exit $different
