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
same() {
	diff -u "module/$1" "$added/$(echo "$2" | tr / !)" || different=1
}
same usr_irq.c kernel/irq/usr_irq.c
same include/linux/usr_irq.h include/linux/usr_irq.h
same include/uapi/linux/usr_pci.h include/uapi/linux/usr_pci.h
for file in usr_pci.c usr_pci.h usr_pci_dma.c usr_pci_consistent.c usr_pci_msi.c; do
	same "$file" "drivers/pci/$file"
done
exit $different
