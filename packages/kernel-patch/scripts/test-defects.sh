#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Provokes the defects of the 2005 irq file in QEMU, and says which showed:
#
#   2005      Debian's stock kernel and the module with ../test/defects/usr_irq.c
#   patched   Linux 6.1 with the patch series
#   module    Debian's stock kernel with the module
#
# By default the first two. TEST=D3 tries one of them.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/vm.sh"

exec 3>&2
vm_require >&2

if [ $# -eq 0 ]; then
	set -- 2005 patched
fi

vm_program="$vm_package/test/defects/stress.c $vm_package/test/guest.c"
for guest in "$@"; do
	memory=512 append='' module=''
	case $guest in
	2005) kernel=$(vm_stock_kernel)
		module=$(vm_module "$vm_package/test/defects/usr_irq.c") ;;
	patched) kernel=$(vm_patched_kernel vm.config) ;;
	module) kernel=$(vm_stock_kernel) module=$(vm_module) ;;
	*) echo "$guest: no such guest" >&2; exit 2 ;;
	esac
	if [ -n "$module" ]; then
		memory=1024 append='intel_iommu=on'
	fi
	console=$vm_cache/console-defects-$guest.log
	initrd=$(vm_initramfs "defects-$guest" $module)
	vm_boot "$kernel" "$initrd" "$memory" 600 "$append" \
		'-device intel-iommu,intremap=on' >"$console"
	echo "# $guest"
	grep -aE '^(D[0-9]+ |not ok )' "$console" || true
	if ! grep -aq '^guest: end' "$console"; then
		echo "not ok the guest did not come to its end; the last of its console:"
		tail -n 40 "$console"
	fi
	# An unbalanced enable is D5, and the kernel says so with a stack.
	if [ "$guest" != 2005 ] && vm_splats "$console" | grep -q .; then
		echo "not ok the kernel complained:"
		vm_splats "$console"
	fi
done
