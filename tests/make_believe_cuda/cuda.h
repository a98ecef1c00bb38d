// What Caffe's host code asks of CUDA, cuBLAS, cuRAND and cuDNN, with a card of make-believe behind it: `card` says what it
// does and notes what it was asked. Read in the place of NVIDIA's headers by tests/test_make_believe_cuda.py.
#pragma once
#include <cstddef>
#include <map>
#include <vector>

#define __host__
#define __device__
#define CUDA_VERSION 13000
#define CUDNN_MAJOR 9
#define CUDNN_VERSION 91500

enum cudaError_t { cudaSuccess, cudaErrorMemoryAllocation };
enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_NOT_INITIALIZED, CUBLAS_STATUS_ALLOC_FAILED, CUBLAS_STATUS_INVALID_VALUE,
  CUBLAS_STATUS_ARCH_MISMATCH, CUBLAS_STATUS_MAPPING_ERROR, CUBLAS_STATUS_EXECUTION_FAILED,
  CUBLAS_STATUS_INTERNAL_ERROR, CUBLAS_STATUS_NOT_SUPPORTED, CUBLAS_STATUS_LICENSE_ERROR };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32 };
enum curandStatus_t {
  CURAND_STATUS_SUCCESS, CURAND_STATUS_VERSION_MISMATCH, CURAND_STATUS_NOT_INITIALIZED,
  CURAND_STATUS_ALLOCATION_FAILED, CURAND_STATUS_TYPE_ERROR, CURAND_STATUS_OUT_OF_RANGE,
  CURAND_STATUS_LENGTH_NOT_MULTIPLE, CURAND_STATUS_DOUBLE_PRECISION_REQUIRED, CURAND_STATUS_LAUNCH_FAILURE,
  CURAND_STATUS_PREEXISTING_FAILURE, CURAND_STATUS_INITIALIZATION_FAILED, CURAND_STATUS_ARCH_MISMATCH,
  CURAND_STATUS_INTERNAL_ERROR };
enum curandRngType_t { CURAND_RNG_PSEUDO_DEFAULT, CURAND_RNG_PSEUDO_PHILOX4_32_10 };
enum cudnnStatus_t { CUDNN_STATUS_SUCCESS, CUDNN_STATUS_NOT_SUPPORTED };
enum cudnnMathType_t { CUDNN_DEFAULT_MATH, CUDNN_TENSOR_OP_MATH, CUDNN_FMA_MATH = 3 };
enum cudnnDeterminism_t { CUDNN_NON_DETERMINISTIC, CUDNN_DETERMINISTIC };
enum cudnnDataType_t { CUDNN_DATA_FLOAT, CUDNN_DATA_DOUBLE };
enum cudnnConvolutionFwdAlgo_t {};
enum cudnnConvolutionBwdFilterAlgo_t {};
enum cudnnConvolutionBwdDataAlgo_t {};
enum cudnnPoolingMode_t { CUDNN_POOLING_MAX, CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING };
enum cudnnActivationMode_t {};
enum { CUDNN_CROSS_CORRELATION, CUDNN_TENSOR_NCHW, CUDNN_PROPAGATE_NAN };
enum { cudaDevAttrClockRate, cudaDevAttrKernelExecTimeout };

struct ConvolutionDescriptor { cudnnMathType_t math; };
typedef ConvolutionDescriptor* cudnnConvolutionDescriptor_t;
typedef int* cudnnTensorDescriptor_t;
typedef int* cudnnFilterDescriptor_t;
typedef int* cudnnPoolingDescriptor_t;
typedef int* cudnnActivationDescriptor_t;
typedef int *cudaStream_t, *cudnnHandle_t, *cublasHandle_t, *curandGenerator_t;
struct cudaDeviceProp {
  int major, minor, regsPerBlock, warpSize, maxThreadsPerBlock, maxThreadsDim[3], maxGridSize[3], asyncEngineCount,
      multiProcessorCount;
  size_t totalGlobalMem, sharedMemPerBlock, memPitch, totalConstMem, textureAlignment;
  char name[256];
};

// An algorithm as the heuristics list it; its workspace with its own math, and with any other.
struct Listed {
  int algorithm;
  cudnnMathType_t math;
  cudnnDeterminism_t determinism;
  size_t workspace, otherwise;
};
enum Pass { FORWARD, FILTER, DATA };
struct Card {
  size_t memory = size_t(80) << 30, taken = 0;
  bool gone = false;  // the driver has ended before the process
  std::vector<Listed> lists[3];
  int handles = 0, streams = 0;
  curandRngType_t generator = CURAND_RNG_PSEUDO_DEFAULT;
  std::map<void*, size_t> blocks;
};
extern Card card;
static int nothing;

inline const char* cudaGetErrorString(cudaError_t) { return "of make-believe"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) { *device = 0; return cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) { *count = 1; return cudaSuccess; }
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int) { return cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int*, int, int) { return cudaSuccess; }
inline cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = card.memory - card.taken;
  *total = card.memory;
  return cudaSuccess;
}
template <typename T> cudaError_t cudaMalloc(T** to, size_t bytes) {
  static char* next = reinterpret_cast<char*>(1 << 20);
  if (card.taken + bytes > card.memory) { return cudaErrorMemoryAllocation; }
  card.taken += bytes;
  card.blocks[next] = bytes;
  *to = reinterpret_cast<T*>(next);
  next += bytes;
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* block) {
  card.taken -= card.blocks[block];
  card.blocks.erase(block);
  return cudaSuccess;
}
inline cudaError_t cudaStreamCreate(cudaStream_t* stream) { ++card.streams; *stream = &nothing; return cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }

inline cublasStatus_t cublasCreate(cublasHandle_t* handle) { *handle = &nothing; return CUBLAS_STATUS_SUCCESS; }
inline cublasStatus_t cublasDestroy(cublasHandle_t) {
  return card.gone ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_SUCCESS;
}
inline curandStatus_t curandCreateGenerator(curandGenerator_t* generator, curandRngType_t type) {
  *generator = &nothing;
  card.generator = type;
  return CURAND_STATUS_SUCCESS;
}
inline curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t, unsigned long long) {
  return CURAND_STATUS_SUCCESS;
}
inline curandStatus_t curandSetGeneratorOffset(curandGenerator_t, unsigned long long) { return CURAND_STATUS_SUCCESS; }
inline curandStatus_t curandDestroyGenerator(curandGenerator_t) {
  return card.gone ? CURAND_STATUS_NOT_INITIALIZED : CURAND_STATUS_SUCCESS;
}

#define DESCRIPTOR(Kind) \
  inline cudnnStatus_t cudnnCreate##Kind##Descriptor(cudnn##Kind##Descriptor_t* one) { \
    *one = &nothing; return CUDNN_STATUS_SUCCESS; } \
  inline cudnnStatus_t cudnnDestroy##Kind##Descriptor(cudnn##Kind##Descriptor_t) { return CUDNN_STATUS_SUCCESS; }
DESCRIPTOR(Tensor)
DESCRIPTOR(Filter)
DESCRIPTOR(Pooling)
DESCRIPTOR(Activation)
template <typename... Any> cudnnStatus_t cudnnSetTensor4dDescriptorEx(Any...) { return CUDNN_STATUS_SUCCESS; }
template <typename... Any> cudnnStatus_t cudnnSetFilter4dDescriptor(Any...) { return CUDNN_STATUS_SUCCESS; }
template <typename... Any> cudnnStatus_t cudnnSetPooling2dDescriptor(Any...) { return CUDNN_STATUS_SUCCESS; }
template <typename... Any> cudnnStatus_t cudnnSetActivationDescriptor(Any...) { return CUDNN_STATUS_SUCCESS; }
inline const char* cudnnGetErrorString(cudnnStatus_t) { return "of make-believe"; }
inline cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) { ++card.handles; *handle = &nothing; return CUDNN_STATUS_SUCCESS; }
inline cudnnStatus_t cudnnDestroy(cudnnHandle_t) { return CUDNN_STATUS_SUCCESS; }
inline cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t) { return CUDNN_STATUS_SUCCESS; }
inline cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* one) {
  *one = new ConvolutionDescriptor();
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t one) {
  delete one;
  return CUDNN_STATUS_SUCCESS;
}
template <typename... Any> cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t one, Any...) {
  one->math = CUDNN_DEFAULT_MATH;
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t one, cudnnMathType_t math) {
  one->math = math;
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnGetConvolutionMathType(cudnnConvolutionDescriptor_t one, cudnnMathType_t* math) {
  *math = one->math;
  return CUDNN_STATUS_SUCCESS;
}
template <typename Result> cudnnStatus_t listed(Pass pass, int asked, int* count, Result* results) {
  *count = 0;
  for (const Listed& one : card.lists[pass]) {
    if (*count == asked) { break; }
    Result& result = results[(*count)++];
    result.algo = decltype(result.algo)(one.algorithm);
    result.status = CUDNN_STATUS_SUCCESS;
    result.mathType = one.math;
    result.determinism = one.determinism;
  }
  return CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t workspace(Pass pass, cudnnConvolutionDescriptor_t conv, int algorithm, size_t* size) {
  for (const Listed& one : card.lists[pass]) {
    if (one.algorithm == algorithm) {
      *size = one.math == conv->math ? one.workspace : one.otherwise;
      return CUDNN_STATUS_SUCCESS;
    }
  }
  return CUDNN_STATUS_NOT_SUPPORTED;
}
// The heuristics and the workspace of a pass, whose third descriptor is the convolution's.
#define ALGORITHM(pass, Pass, Short, A, B, C, D) \
  struct cudnnConvolution##Short##AlgoPerf_t { \
    cudnnConvolution##Short##Algo_t algo; cudnnStatus_t status; cudnnDeterminism_t determinism; cudnnMathType_t mathType; }; \
  inline cudnnStatus_t cudnnGetConvolution##Pass##Algorithm_v7(cudnnHandle_t, A, B, C, D, int asked, int* count, \
      cudnnConvolution##Short##AlgoPerf_t* results) { return listed(pass, asked, count, results); } \
  inline cudnnStatus_t cudnnGetConvolution##Pass##WorkspaceSize(cudnnHandle_t, A a, B b, C c, D d, \
      cudnnConvolution##Short##Algo_t algo, size_t* size) { return workspace(pass, c, algo, size); }
ALGORITHM(FORWARD, Forward, Fwd, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t, cudnnConvolutionDescriptor_t,
          cudnnTensorDescriptor_t)
ALGORITHM(FILTER, BackwardFilter, BwdFilter, cudnnTensorDescriptor_t, cudnnTensorDescriptor_t,
          cudnnConvolutionDescriptor_t, cudnnFilterDescriptor_t)
ALGORITHM(DATA, BackwardData, BwdData, cudnnFilterDescriptor_t, cudnnTensorDescriptor_t,
          cudnnConvolutionDescriptor_t, cudnnTensorDescriptor_t)
