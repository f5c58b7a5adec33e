#pragma once

#include <napi.h>

#include <cstdint>

namespace usrdrv {

/**
 * What JavaScript passes, decoded strictly: a value of another type or without an exact counterpart is refused, never
 * converted. False leaves `out` alone.
 */
bool ToInteger(napi_env env, napi_value value, int64_t* out);
bool ToInt(napi_env env, napi_value value, int* out);
/** A bigint of 64 bits: an address, a mask. */
bool ToUint64(napi_env env, napi_value value, uint64_t* out);

/** A system call's result: a value >= 0 that a number holds exactly, or -errno. */
Napi::Value Result(napi_env env, int64_t result);

/** What a call that went to sleep returns: the bigint that names it, or the -errno it could not even start for. */
Napi::Value Started(napi_env env, uint64_t call, int64_t started);

/** What a C library function returned: -1 becomes -errno. */
int64_t ResultOf(int64_t returned);

}  // namespace usrdrv
