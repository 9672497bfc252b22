# TESSERA_SANITIZE: flags for every file, and in sanitize_environment what a test needs around it.
#
# thread: the OpenMP library must tell the checker which thread waits for which, or every parallel loop is reported. LLVM's does,
# through its tool Archer; gcc's does not. HDF5 is not built with the checker, so what it does is left out. Accesses
# of more than 16 bytes are not seen either (LLVM 14): the kernels run in their generic form, the same code in narrow vectors.
set(sanitize_environment "")
if(TESSERA_SANITIZE STREQUAL "address")
  string(APPEND CMAKE_C_FLAGS " -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer")
  set(sanitize_environment "UBSAN_OPTIONS=print_stacktrace=1")
elseif(TESSERA_SANITIZE STREQUAL "thread")
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "TESSERA_SANITIZE=thread needs clang, whose OpenMP library the checker understands: install the Debian "
                        "packages clang and libomp-dev and configure with CC=clang (sh tests/run.sh --sanitize thread does)")
  endif()
  string(REGEX MATCH "^[0-9]+" version ${CMAKE_C_COMPILER_VERSION})
  find_library(ARCHER_LIBRARY archer PATHS /usr/lib/llvm-${version}/lib)
  if(NOT ARCHER_LIBRARY)
    message(FATAL_ERROR "libarcher.so not found: install the Debian package libomp-${version}-dev")
  endif()
  string(APPEND CMAKE_C_FLAGS " -O1 -fsanitize=thread -fno-omit-frame-pointer")
  set(sanitize_environment "OMP_TOOL_LIBRARIES=${ARCHER_LIBRARY}" "TSAN_OPTIONS=ignore_noninstrumented_modules=1" "TESSERA_KERNELS=generic")
elseif(TESSERA_SANITIZE)
  message(FATAL_ERROR "TESSERA_SANITIZE=${TESSERA_SANITIZE}: it is address or thread")
endif()
