{
  "variables": {
    # `node-gyp rebuild -- -Dsanitize=1`: AddressSanitizer and UndefinedBehaviorSanitizer, for `npm run test:sanitize`.
    "sanitize%": 0
  },
  "targets": [
    {
      "target_name": "usrdrv",
      "sources": [
        "addon/addon.cc",
        "addon/address_space.cc",
        "addon/descriptors.cc",
        "addon/instance.cc",
        "addon/memory.cc",
        "addon/mmio.cc",
        "addon/mmio_fault.cc",
        "addon/poller.cc",
        "addon/read_write.cc",
        "addon/realtime.cc",
        "addon/sleeping_calls.cc",
        "addon/usr_pci.cc",
        "addon/values.cc",
        "addon/vfio.cc",
        "addon/waiting.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "cflags": ["-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"],
      "cflags_cc": ["-std=gnu++17", "-Wno-missing-field-initializers"],
      # Signal handlers point into the library: it stays when the last thread that loaded it ends.
      "ldflags": ["-Wl,-z,nodelete", "-Wl,-z,now"],
      "conditions": [
        ["sanitize==1", {
          "cflags": ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1"],
          "cflags!": ["-O3"],
          "ldflags": ["-fsanitize=address,undefined"]
        }]
      ]
    }
  ]
}
