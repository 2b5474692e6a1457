# include(@name@.cmake) in a CMakeLists.txt, then target_link_libraries(your_program PRIVATE @name@::@name@).
add_library(@name@::@name@ SHARED IMPORTED)
set_target_properties(@name@::@name@ PROPERTIES
  IMPORTED_LOCATION "${CMAKE_CURRENT_LIST_DIR}/lib@name@.so"
  INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_CURRENT_LIST_DIR}")
set(@name@_WEIGHTS "${CMAKE_CURRENT_LIST_DIR}/@name@.safetensors")
