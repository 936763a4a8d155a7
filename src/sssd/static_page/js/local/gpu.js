// Whether the network can run on the graphics processor of this machine. A software adapter is slower than WebAssembly, and
// the build of onnxruntime-web for WebGPU needs JSPI (WebAssembly.Suspending), by which WebAssembly waits for promises.
export async function hasGpu() {
  if (!navigator.gpu || !WebAssembly.Suspending) return false;
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  return !!adapter && !adapter.info.isFallbackAdapter;
}
