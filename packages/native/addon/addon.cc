#include <napi.h>

#include "calls.h"
#include "instance.h"

namespace usrdrv {

namespace {

/** Once for each JavaScript thread that loads the addon. */
Napi::Object Init(Napi::Env env, Napi::Object object) {
  auto* instance = new Instance(env);
  env.SetInstanceData(instance);
  Exports exports(object, instance);
  DefineDescriptorCalls(&exports);
  DefineMemoryCalls(&exports);
  DefineMmioCalls(&exports);
  DefineReadWriteCalls(&exports);
  DefineRealtimeCalls(&exports);
  DefineUsrPciCalls(&exports);
  DefineVfioCalls(&exports);
  DefineWaitingCalls(&exports);
  return object;
}

}  // namespace

}  // namespace usrdrv

Napi::Object InitUsrdrv(Napi::Env env, Napi::Object exports) {
  return usrdrv::Init(env, exports);
}

NODE_API_MODULE(usrdrv, InitUsrdrv)
