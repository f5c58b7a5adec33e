# SPDX-License-Identifier: GPL-2.0
# Sourced: kernels, an initramfs and a machine to run them in. Everything that is
# built goes to $vm_cache, under a key of what it is built from.

vm_package=$(cd "$here/.." && pwd)
vm_cache=${XDG_CACHE_HOME:-$HOME/.cache}/usrdrv
vm_source=/usr/src/linux-source-6.1.tar.xz
vm_debs='linux-source-6.1 linux-headers-amd64 gcc make flex bison libelf-dev
libssl-dev bc cpio kmod xz-utils patch busybox-static qemu-system-x86 libc6-dev'

vm_require() {
	mkdir -p "$vm_cache"
	missing=
	for deb in $vm_debs; do
		dpkg-query -W -f '${Status}' "$deb" 2>/dev/null |
			grep -q 'ok installed' || missing="$missing $deb"
	done
	if [ -z "$missing" ]; then
		return
	fi
	if [ "$(id -u)" -ne 0 ]; then
		echo "install first:$missing" >&2
		exit 1
	fi
	echo "# installing$missing"
	{
		apt-get update
		DEBIAN_FRONTEND=noninteractive apt-get install -y \
			--no-install-recommends $missing
	} >"$vm_cache/apt.log" 2>&1 || {
		tail -n 20 "$vm_cache/apt.log" >&2
		exit 1
	}
}

vm_key() {
	sha256sum | cut -c 1-16
}

# vm_patched_kernel CONFIG...: prints the path of the kernel image.
vm_patched_kernel() {
	key=$({
		dpkg-query -W -f '${Version}\n' linux-source-6.1
		for config in "$@"; do
			cat "$vm_package/config/$config"
		done
		cat "$vm_package"/patches/linux-6.1/*.patch
	} | vm_key)
	image=$vm_cache/linux-6.1-$key
	vm_cached "$image" vm_build_kernel "$@"
	echo "$image"
}

# vm_cached TARGET COMMAND ARGUMENT...: puts TARGET into the cache, if it is not
# there, with COMMAND TARGET ARGUMENT..., which may leave things in $build; one
# at a time. Shows the end of what the command prints if it fails.
vm_cached() {
	if [ -e "$1" ]; then
		return
	fi
	(
		flock 9
		# Somebody else has made it meanwhile.
		if [ -e "$1" ]; then
			exit
		fi
		build=$(mktemp -d "$vm_cache/build-XXXXXX")
		trap 'rm -rf "$build"' EXIT
		trap 'exit 1' INT TERM
		target=$1 command=$2
		shift 2
		"$command" "$target" "$@" >"$vm_cache/build.log" 2>&1 9>&- || {
			tail -n 40 "$vm_cache/build.log" >&2
			exit 1
		}
	) 9>"$vm_cache/lock"
}

# vm_build_kernel IMAGE CONFIG...
vm_build_kernel() {
	image=$1
	shift
	echo "# building $image, which takes 5 minutes on two processors, 15 with debug.config" >&3
	tar -C "$build" -xf "$vm_source" --strip-components 1
	for file in "$vm_package"/patches/linux-6.1/*.patch; do
		patch -d "$build" -p1 --fuzz 0 <"$file" || return
	done
	make -C "$build" -s tinyconfig || return
	for config in "$@"; do
		cat "$vm_package/config/$config"
	done >"$build/fragment"
	(cd "$build" && scripts/kconfig/merge_config.sh -m .config fragment) || return
	make -C "$build" -s olddefconfig || return
	# What the fragments ask for and Kconfig does not grant.
	grep '=y$' "$build/fragment" | while read -r option; do
		grep -qx "$option" "$build/.config" || {
			echo "$option: not granted"
			exit 1
		}
	done || return
	make -C "$build" -s -j"$(nproc)" bzImage || return
	cp "$build/arch/x86/boot/bzImage" "$image.new"
	mv "$image.new" "$image"
}

vm_stock_release() {
	apt-cache depends linux-headers-amd64 |
		sed -n 's/.*Depends: linux-headers-\(6\.1\.0-.*\)/\1/p' | head -n 1
}

# vm_stock_kernel: prints the path of Debian's image, unpacked, not installed.
vm_stock_kernel() {
	release=$(vm_stock_release)
	image=$vm_cache/vmlinuz-$release
	vm_cached "$image.modules.tar.gz" vm_unpack_stock "$image" "$release"
	echo "$image"
}

# vm_unpack_stock MODULES IMAGE RELEASE: the image first, so that it is there
# where the archive of modules is.
vm_unpack_stock() {
	(
		cd "$build" &&
		apt-get download "linux-image-$3" &&
		dpkg-deb -x ./*.deb . &&
		tar -C "lib/modules/$3/kernel/drivers" \
			-czf modules.tar.gz virtio char/virtio_console.ko uio
	) || return
	mv "$build/boot/vmlinuz-$3" "$2" && mv "$build/modules.tar.gz" "$1"
}

# vm_stock_modules DIRECTORY: the drivers of Debian's image that a guest needs,
# named in the order in which they have to be loaded.
vm_stock_modules() {
	archive=$(vm_stock_kernel).modules.tar.gz
	order=10
	for module in virtio/virtio_ring virtio/virtio virtio/virtio_pci_legacy_dev \
		virtio/virtio_pci_modern_dev virtio/virtio_pci char/virtio_console \
		uio/uio uio/uio_pci_generic; do
		tar -xzf "$archive" -O "$module.ko" >"$1/$order-${module#*/}.ko"
		order=$((order + 1))
	done
}

# vm_module [FILE]: prints the path of the module, built against Debian's headers,
# with FILE in place of its source of that name.
vm_module() {
	release=$(vm_stock_release)
	key=$({
		echo "$release"
		find "$vm_package/module" -type f | sort | xargs cat
		cat "$@" </dev/null
	} | vm_key)
	module=$vm_cache/module-$key/usrdrv.ko
	vm_cached "$module" vm_build_module "$@"
	echo "$module"
}

# vm_build_module MODULE [FILE]
vm_build_module() {
	cp -R "$vm_package/module" "$build/sources" || return
	if [ $# -gt 1 ]; then
		cp "$2" "$build/sources" || return
	fi
	make -s -C "$build/sources" O="$build/module" \
		KDIR="/usr/src/linux-headers-$release" || return
	mkdir -p "${1%/*}" || return
	mv "$build/module/usrdrv.ko" "$1"
}

# vm_samples DIRECTORY: puts the modules of samples/ there, built against Debian's
# headers.
vm_samples() {
	release=$(vm_stock_release)
	key=$({ echo "$release"; cat "$vm_package"/samples/*; } | vm_key)
	samples=$vm_cache/samples-$key
	vm_cached "$samples" vm_build_samples
	cp "$samples"/*.ko "$1/"
}

# vm_build_samples DIRECTORY
vm_build_samples() {
	cp "$vm_package"/samples/* "$build/" || return
	make -s -C "/usr/src/linux-headers-$release" M="$build" modules || return
	mv -T "$build" "$1"
}

# vm_initramfs GUEST [MODULE]: busybox, the tests or $vm_program, and the
# module; prints its path.
vm_initramfs() {
	root=$vm_cache/initramfs-$1
	shift
	rm -rf "$root"
	mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/modules"
	cp /bin/busybox "$root/bin/"
	cp "$vm_package/test/init" "$root/init"
	chmod 755 "$root/init"
	gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -pthread \
		-I"$vm_package/module/include/uapi" -o "$root/bin/test" \
		${vm_program:-"$vm_package"/test/*.c} >&2
	for module in "$@"; do
		cp "$module" "$root/modules/"
	done
	(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$root.cpio.gz"
	echo "$root.cpio.gz"
}

# vm_boot KERNEL INITRD MEMORY SECONDS APPEND IOMMU: the console on stdout.
# no_timer_check: a busy host may not emulate ticks in time for the check.
# tsc=reliable: other clocks are devices, which take long to read.
vm_boot() {
	timeout --foreground -k 5 "$4" qemu-system-x86_64 -M q35,accel=tcg \
		-smp 2 -m "$3" $6 -nodefaults -no-reboot -display none \
		-serial stdio -device pcie-root-port,id=rp0 \
		-device virtio-serial-pci -device edu -device edu \
		-kernel "$1" -initrd "$2" \
		-append "console=ttyS0 panic=-1 no_timer_check tsc=reliable usrdrv.test=\"${TEST:-*}\" $5" \
		</dev/null 2>/dev/null | tr -d '\r' || true
}

# vm_splats CONSOLE: what no healthy kernel prints, with what follows it. That a
# program has mapped the same memory twice, which DMA debugging tells of, is
# between the program and its device.
vm_splats() {
	sed '/cacheline tracking EEXIST, overlapping/,/end trace/d' "$1" |
		grep -aE -A 25 'WARNING: |BUG: |Oops|Kernel panic|Call Trace|INFO: task|unreferenced object|UBSAN|possible recursive|DMA-API: (.*device driver|.*error)|proc_dir_entry .* already' |
		grep -avE 'Spectre|RETBleed' | head -n 80
}
