#include "address_space.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include "mmio.h"
#include "values.h"

// Newer than some C libraries' headers.
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

namespace usrdrv {

namespace {

/** The most that one ArrayBuffer of Node's can hold. */
constexpr uint64_t kMaxBuffer = 0xffffffff;

void* Pointer(uint64_t address) {
  return reinterpret_cast<void*>(address);
}

uint64_t PageAlign(uint64_t length) {
  return (length + kPageSize - 1) & ~(kPageSize - 1);
}

/** Maps inaccessible pages just there, where nothing is yet: 0 or -errno. */
int64_t Reserve(uint64_t address, uint64_t size) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
  void* got = mmap(Pointer(address), size, PROT_NONE, flags, -1, 0);
  if (got == MAP_FAILED) return -errno;
  if (got == Pointer(address)) return 0;
  // A kernel before 4.17 takes the address for a hint.
  munmap(got, size);
  return -EEXIST;
}

}  // namespace

int64_t AddressSpace::Map(uint64_t address, uint64_t length, int prot, int flags, int fd, uint64_t offset) {
  // Neither's size is what the books would say: one grows by itself, the other is rounded to huge pages.
  if ((flags & (MAP_GROWSDOWN | MAP_HUGETLB)) != 0) return -EINVAL;
  if (length == 0) return -EINVAL;
  if (length > kTaskSize) return -ENOMEM;
  uint64_t size = PageAlign(length);
  if ((flags & MAP_FIXED) != 0) return MapFixed(address, size, prot, flags, fd, offset);

  void* got = mmap(Pointer(address), size, prot, flags, fd, static_cast<off_t>(offset));
  if (got == MAP_FAILED) return -errno;
  auto start = reinterpret_cast<uint64_t>(got);
  Kind kind = (flags & MAP_ANONYMOUS) != 0 ? Kind::kMemory : Kind::kFile;
  mappings_[start] = Mapping{start + size, prot, kind, nullptr};
  return static_cast<int64_t>(start);
}

int64_t AddressSpace::MapFixed(uint64_t address, uint64_t size, int prot, int flags, int fd, uint64_t offset) {
  if (address % kPageSize != 0) return -EINVAL;
  if (address > kTaskSize - size) return -ENOMEM;
  int64_t result = MapOver(address, size, prot, flags & ~MAP_FIXED, fd, offset);
  if (result < 0) return result;
  Kind kind = (flags & MAP_ANONYMOUS) != 0 ? Kind::kMemory : Kind::kFile;
  mappings_[address] = Mapping{address + size, prot, kind, nullptr};
  return static_cast<int64_t>(address);
}

/**
 * Elsewhere first, then moved into place: by then nothing can fail any more but for want of memory. Linux up to 6.11 would
 * have unmapped what was there before it asks the file.
 */
int64_t AddressSpace::MapOver(uint64_t address, uint64_t size, int prot, int flags, int fd, uint64_t offset) {
  void* elsewhere = mmap(nullptr, size, prot, flags, fd, static_cast<off_t>(offset));
  if (elsewhere == MAP_FAILED) return -errno;

  uint64_t end = address + size;
  std::map<uint64_t, uint64_t> ours;
  for (const auto& [start, mapping] : mappings_) ours[start] = mapping.end;
  for (const auto& piece : retired_) ours[piece.start] = piece.end;
  std::vector<std::pair<uint64_t, uint64_t>> gaps;
  uint64_t at = address;
  for (const auto& [start, stop] : ours) {
    if (stop <= at || start >= end) continue;
    if (start > at) gaps.emplace_back(at, start);
    at = stop;
  }
  if (at < end) gaps.emplace_back(at, end);
  for (auto gap = gaps.begin(); gap != gaps.end(); gap++) {
    int64_t reserved = Reserve(gap->first, gap->second - gap->first);
    if (reserved == 0) continue;
    for (auto undo = gaps.begin(); undo != gap; undo++) munmap(Pointer(undo->first), undo->second - undo->first);
    munmap(elsewhere, size);
    return reserved;
  }

  Cut(address, end);
  for (auto piece = retired_.begin(); piece != retired_.end();) {
    Retired old = *piece;
    if (old.end <= address || old.start >= end) {
      piece++;
      continue;
    }
    if (old.start < address) retired_.insert(piece, Retired{old.start, address, old.buffer});
    if (old.end > end) retired_.insert(piece, Retired{end, old.end, old.buffer});
    piece = retired_.erase(piece);
  }
  void* moved = mremap(elsewhere, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, Pointer(address));
  if (moved != MAP_FAILED) return 0;
  int64_t result = -errno;
  munmap(elsewhere, size);
  munmap(Pointer(address), size);
  return result;
}

int64_t AddressSpace::Unmap(uint64_t address, uint64_t length) {
  if (address % kPageSize != 0 || length == 0) return -EINVAL;
  if (length > kTaskSize || address > kTaskSize - length) return -EINVAL;
  for (const Retired& piece : Cut(address, address + PageAlign(length))) GiveBack(piece);
  return 0;
}

void AddressSpace::Adopt(uint64_t address, uint64_t length) {
  mappings_[address] = Mapping{address + length, PROT_READ | PROT_WRITE, Kind::kMemory, nullptr};
}

AddressSpace::Mappings::const_iterator AddressSpace::Find(uint64_t address) const {
  auto next = mappings_.upper_bound(address);
  if (next == mappings_.begin()) return mappings_.end();
  auto found = std::prev(next);
  return address < found->second.end ? found : mappings_.end();
}

int AddressSpace::Protection(uint64_t address, uint64_t length) const {
  auto found = Find(address);
  if (found == mappings_.end() || length > found->second.end - address) return -EFAULT;
  return found->second.prot;
}

bool AddressSpace::IsMemory(uint64_t address, uint64_t length, int prot) const {
  auto found = Find(address);
  if (found == mappings_.end() || length > found->second.end - address) return false;
  return found->second.kind == Kind::kMemory && (found->second.prot & prot) == prot;
}

UserPointer AddressSpace::Reach(uint64_t address, uint64_t length) {
  if (address >= kTaskSize) return UserPointer(address);
  uint64_t end = length > UINT64_MAX - address ? UINT64_MAX : address + length;
  uint64_t at = address;
  for (auto found = Find(at); at < end && found != mappings_.end(); found = Find(at)) at = found->second.end;
  if (at >= end || at >= kTaskSize) return UserPointer(address);
  // The kernel goes on from byte to byte and stops at the first that is not there. So one page will do.
  uint64_t page = at & ~(kPageSize - 1);
  int64_t reserved = Reserve(page, kPageSize);
  if (reserved == 0) return UserPointer(address, page);
  // The lowest pages belong to nobody (vm.mmap_min_addr).
  if (reserved == -EPERM || reserved == -EACCES) return UserPointer(address);
  return Nowhere();
}

UserPointer AddressSpace::Nowhere() {
  static const uint64_t nowhere = [] {
    void* page = mmap(nullptr, kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? kTaskSize : reinterpret_cast<uint64_t>(page);
  }();
  return UserPointer(nowhere);
}

AddressSpace::Hold AddressSpace::AddHold(uint64_t address, uint64_t length) {
  uint64_t end = length > UINT64_MAX - address ? UINT64_MAX : address + length;
  return holds_.insert(holds_.end(), {address, end});
}

void AddressSpace::RemoveHold(Hold hold) {
  holds_.erase(hold);
  Sweep();
}

bool AddressSpace::IsHeld(uint64_t start, uint64_t end) const {
  for (const auto& [from, to] : holds_) {
    if (from < end && start < to) return true;
  }
  return false;
}

std::list<AddressSpace::Retired> AddressSpace::Cut(uint64_t start, uint64_t end) {
  std::list<Retired> pieces;
  mmio_->Revoke(start, end);
  auto at = mappings_.upper_bound(start);
  if (at != mappings_.begin()) at--;
  while (at != mappings_.end() && at->first < end) {
    auto [from, mapping] = *at;
    if (mapping.end <= start) {
      at++;
      continue;
    }
    DetachBuffer(&mapping);
    at = mappings_.erase(at);
    // What stays on either side gets an ArrayBuffer of its own when somebody asks.
    if (from < start) mappings_[from] = Mapping{start, mapping.prot, mapping.kind, nullptr};
    if (mapping.end > end) mappings_[end] = Mapping{mapping.end, mapping.prot, mapping.kind, nullptr};
    pieces.push_back({std::max(from, start), std::min(mapping.end, end), mapping.buffer});
    at = mappings_.lower_bound(std::min(mapping.end, end));
  }
  return pieces;
}

void AddressSpace::GiveBack(const Retired& piece) {
  uint64_t size = piece.end - piece.start;
  bool held = IsHeld(piece.start, piece.end);
  if (!held && piece.buffer == nullptr) {
    munmap(Pointer(piece.start), size);
    return;
  }
  // A call that sleeps finds nothing there, as it should. Whoever still has the ArrayBuffer's memory (work of Node's
  // own threads, an ArrayBuffer that it was transferred to) finds zeros instead of a fault.
  int prot = held ? PROT_NONE : PROT_READ | PROT_WRITE;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  void* got = mmap(Pointer(piece.start), size, prot, flags, -1, 0);
  // Out of mappings. What is there is harmless as long as nothing else is put there.
  if (got == MAP_FAILED) mprotect(Pointer(piece.start), size, prot);
  retired_.push_back(piece);
}

void AddressSpace::Sweep() {
  for (auto piece = retired_.begin(); piece != retired_.end();) {
    if (piece->buffer != nullptr || IsHeld(piece->start, piece->end)) {
      piece++;
      continue;
    }
    munmap(Pointer(piece->start), piece->end - piece->start);
    piece = retired_.erase(piece);
  }
}

Napi::Value AddressSpace::Bytes(uint64_t address, uint64_t length) {
  if (!IsMemory(address, length, PROT_READ | PROT_WRITE)) return Result(env_, -EFAULT);
  auto found = std::prev(mappings_.upper_bound(address));
  uint64_t start = found->first;
  Mapping* mapping = &found->second;

  Napi::Value buffer;
  if (mapping->buffer == nullptr) {
    buffer = NewBuffer(start, mapping);
    if (!buffer.IsArrayBuffer()) return buffer;
  } else {
    napi_value value = nullptr;
    napi_get_reference_value(env_, mapping->buffer->reference, &value);
    buffer = Napi::Value(env_, value);
    // Somebody transferred it, and V8 allows no second one.
    if (value == nullptr || !buffer.IsArrayBuffer() || buffer.As<Napi::ArrayBuffer>().IsDetached()) {
      return Result(env_, -EFAULT);
    }
  }
  napi_value view;
  if (napi_create_typedarray(env_, napi_uint8_array, length, buffer, address - start, &view) != napi_ok) {
    Napi::Env(env_).GetAndClearPendingException();
    return Result(env_, -ENOMEM);
  }
  return Napi::Value(env_, view);
}

Napi::Value AddressSpace::NewBuffer(uint64_t start, Mapping* mapping) {
  uint64_t size = mapping->end - start;
  if (size > kMaxBuffer) return Result(env_, -ENOMEM);
  auto* buffer = new Buffer{shared_from_this()};
  napi_value value;
  napi_status status = napi_create_external_arraybuffer(env_, Pointer(start), size, FinalizeBuffer, buffer, &value);
  if (status != napi_ok) {
    delete buffer;
    Napi::Env(env_).GetAndClearPendingException();
    return Result(env_, -ENOMEM);
  }
  mapping->buffer = buffer;
  napi_create_reference(env_, value, 1, &buffer->reference);
  return Napi::Value(env_, value);
}

void AddressSpace::DetachBuffer(Mapping* mapping) {
  if (mapping->buffer == nullptr || mapping->buffer->reference == nullptr) return;
  Napi::HandleScope scope(env_);
  napi_value value = nullptr;
  napi_get_reference_value(env_, mapping->buffer->reference, &value);
  if (value != nullptr) napi_detach_arraybuffer(env_, value);
  napi_delete_reference(env_, mapping->buffer->reference);
  mapping->buffer->reference = nullptr;
}

/** V8 has let go of the memory. */
void AddressSpace::FinalizeBuffer(napi_env env, void*, void* hint) {
  auto* buffer = static_cast<Buffer*>(hint);
  std::shared_ptr<AddressSpace> space = buffer->space;
  for (auto& [start, mapping] : space->mappings_) {
    if (mapping.buffer == buffer) mapping.buffer = nullptr;
  }
  for (Retired& piece : space->retired_) {
    if (piece.buffer == buffer) piece.buffer = nullptr;
  }
  if (buffer->reference != nullptr) napi_delete_reference(env, buffer->reference);
  delete buffer;
  space->Sweep();
}

void AddressSpace::Close() {
  for (const Retired& piece : Cut(0, kTaskSize)) GiveBack(piece);
  holds_.clear();
  Sweep();
}

}  // namespace usrdrv
