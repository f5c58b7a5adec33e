#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs the tests of ../test in QEMU, on each of the kernels named (by default
# patched and module), and prints `N passed, N failed`.
#
#   patched   Linux 6.1 with the patch series
#   plain     the same in a machine without an IOMMU
#   debug     the same with KASAN, lockdep, kmemleak and DMA API debugging
#   module    Debian's stock kernel with the module
#
# TEST=pattern runs the tests whose names match; the guests' consoles are kept
# in the cache. What is missing comes from Debian 12's archive if the caller may
# install it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/vm.sh"

exec 3>&1
vm_require

if [ $# -eq 0 ]; then
	set -- patched module
fi

passed=0
failed=0
for guest in "$@"; do
	echo "# $guest"
	memory=512 seconds=300 append='' module='' iommu='-device intel-iommu,intremap=on'
	case $guest in
	patched) kernel=$(vm_patched_kernel vm.config) ;;
	# All memory within edu's 28 bits: there is nothing to bounce through.
	plain) kernel=$(vm_patched_kernel vm.config) memory=256 iommu='' ;;
	debug) kernel=$(vm_patched_kernel vm.config debug.config)
		memory=1024 seconds=1200 ;;
	module) kernel=$(vm_stock_kernel) module=$(vm_module)
		memory=1024 append='intel_iommu=on' ;;
	*) echo "$guest: no such guest" >&2; exit 2 ;;
	esac
	console=$vm_cache/console-$guest.log
	initrd=$(vm_initramfs "$guest" $module)
	vm_boot "$kernel" "$initrd" "$memory" "$seconds" "$append" "$iommu" >"$console"

	grep -aE '^(edu |ok |not ok |  )' "$console" || true
	counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$console")
	good=${counts% *} bad=${counts#* }
	if ! grep -aq '^guest: end' "$console" || [ -z "$counts" ]; then
		echo "not ok $guest: the guest did not come to its end; the last of its console:"
		tail -n 60 "$console"
		bad=$((${bad:-0} + 1))
	elif vm_splats "$console" | grep -q .; then
		echo "not ok $guest: the kernel complained:"
		vm_splats "$console"
		bad=$((bad + 1))
	fi
	passed=$((passed + ${good:-0}))
	failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
