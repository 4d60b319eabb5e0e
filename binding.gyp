{
  'targets': [
    {
      'target_name': 'ballermann',
      'sources': [
        'native/addon.cc',
        'native/acceptor.cc',
        'native/channel_end.cc',
        'native/channels.cc',
        'native/hang_report.cc',
        'native/local_socket.cc',
        'native/loop_clock.cc',
        'native/memory_file.cc',
        'native/notify.cc',
        'native/old_glibc.cc',
        'native/process.cc',
        'native/segment.cc',
        'native/signals.cc',
        'native/turns.cc',
        'native/values.cc',
      ],
      'include_dirs': ['<!(node -p "require(\'node-addon-api\').include_dir")'],
      'defines': [
        'NAPI_VERSION=8',
        'NODE_ADDON_API_CPP_EXCEPTIONS_ALL',  # what the standard library throws, too, is an error in JavaScript
        'NODE_ADDON_API_DISABLE_DEPRECATED',
      ],
      # Node's own common.gypi asks for an older standard and for no exceptions. Both go first.
      'cflags!': ['-fno-exceptions'],
      'cflags_cc!': ['-fno-exceptions', '-std=gnu++17', '-std=gnu++20'],
      'cflags': ['-Wall', '-Wextra', '-Werror=return-type', '-fvisibility=hidden'],
      'cflags_cc': ['-std=c++20', '-fexceptions', '-fvisibility-inlines-hidden'],
      'configurations': {
        'Release': {
          'cflags!': ['-O3'],
          'cflags': ['-O2'],
        },
        'Debug': {
          'cflags': ['-O0', '-g'],
        },
      },
      'xcode_settings': {
        'CLANG_CXX_LANGUAGE_STANDARD': 'c++20',
        'CLANG_CXX_LIBRARY': 'libc++',
        'GCC_ENABLE_CPP_EXCEPTIONS': 'YES',
        'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
        'GCC_INLINES_ARE_PRIVATE_EXTERN': 'YES',
        'MACOSX_DEPLOYMENT_TARGET': '11.0',
        'WARNING_CFLAGS': ['-Wall', '-Wextra', '-Werror=return-type'],
      },
    },
  ],
}
