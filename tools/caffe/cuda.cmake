# What the GPU build adds to the target `caffe`: the CUDA sources, and CUDA's and cuDNN's headers and libraries.
# The toolchain is NVIDIA's wheels, unpacked (CUDA); nvcc is called as it is.

# Machine code for every architecture, and for the newest also PTX, which drivers compile for cards still to come.
list(SORT ARCHITECTURES COMPARE NATURAL)
foreach(architecture ${ARCHITECTURES})
  list(APPEND generate -gencode=arch=compute_${architecture},code=sm_${architecture})
  set(newest ${architecture})
endforeach()
list(APPEND generate -gencode=arch=compute_${newest},code=compute_${newest})

set(includes ${CMAKE_BINARY_DIR}/include ${CAFFE_SOURCE}/include ${CMAKE_CURRENT_SOURCE_DIR} ${HDF5_INCLUDE_DIRS} ${OPENCV_INCLUDE}
    ${DEPENDENCIES_INCLUDE_DIRS} ${CUDA}/cudnn/include)
list(TRANSFORM includes PREPEND -I)
get_target_property(definitions caffe COMPILE_DEFINITIONS)
list(TRANSFORM definitions PREPEND -D)
cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)

# nvcc reads every header once for the host and once an architecture, which is most of its work: a few joined files
# take a fraction of the time. lstm_unit_layer.cu stays alone, since it defines a tanh of its own.
function(add_cuda_object name)  # name, sources…
  list(TRANSFORM ARGN PREPEND "#include \"" OUTPUT_VARIABLE lines)
  list(TRANSFORM lines APPEND "\"\n")
  list(JOIN lines "" content)
  set(joined ${CMAKE_BINARY_DIR}/cuda/${name})
  file(GENERATE OUTPUT ${joined}.cu CONTENT "${content}")
  add_custom_command(
    OUTPUT ${joined}.o
    COMMAND ${CUDA}/cu13/bin/nvcc -c ${joined}.cu -o ${joined}.o -MD -MF ${joined}.d -MT cuda/${name}.o -std=c++17
            -O2 -DNDEBUG -w --threads ${cores} -ccbin ${CMAKE_CXX_COMPILER} -Xcompiler=-fPIC ${generate} ${includes}
            ${definitions}
    DEPENDS ${joined}.cu ${ARGN} ${proto_dir}/caffe.pb.h DEPFILE ${joined}.d VERBATIM
    COMMENT "Compiling ${name}.cu for ${ARCHITECTURES}")
  target_sources(caffe PRIVATE ${joined}.o)
endfunction()
foreach(part layers solvers util)
  file(GLOB ${part} CONFIGURE_DEPENDS ${CAFFE_SOURCE}/src/caffe/${part}/*.cu)
endforeach()
set(alone ${CAFFE_SOURCE}/src/caffe/layers/lstm_unit_layer.cu)
list(REMOVE_ITEM layers ${alone})
file(GLOB engine CONFIGURE_DEPENDS engine/*.cu)
add_cuda_object(layers ${layers} ${engine})
add_cuda_object(lstm ${alone})
add_cuda_object(solvers_util ${solvers} ${util})

# What Caffe is linked with, and what that loads at run time. All of it goes into cuda/ beside libcaffe. The
# driver's libcuda.so.1 is not among them: this Caffe starts without it.
target_include_directories(caffe SYSTEM PUBLIC ${CUDA}/cu13/include ${CUDA}/cu13/include/cccl
                           ${CUDA}/cudnn/include)
set(linked cu13/lib/libcudart.so.13 cu13/lib/libcublas.so.13 cu13/lib/libcurand.so.10 cudnn/lib/libcudnn.so.9)
list(TRANSFORM linked PREPEND ${CUDA}/)
target_link_libraries(caffe PUBLIC ${linked})
file(GLOB loaded ${CUDA}/cu13/lib/libcublasLt.so.* ${CUDA}/cu13/lib/libnvrtc*.so.* ${CUDA}/cudnn/lib/libcudnn_*.so.*)
install(FILES ${linked} ${loaded} DESTINATION ${CMAKE_INSTALL_LIBDIR}/cuda)
foreach(library cublas cuda_nvrtc cuda_runtime cudnn_cu13 curand)
  file(GLOB licence ${CUDA}/../nvidia_${library}-*.dist-info/licenses/License.txt)
  install(FILES ${licence} DESTINATION ${CMAKE_INSTALL_LIBDIR}/cuda/licences RENAME ${library}.txt)
endforeach()
