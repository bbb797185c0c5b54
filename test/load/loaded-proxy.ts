/** A proxy as a process of its own and an origin, for tests that load it. */
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { Runtime } from "#lib/runtime.ts";
import { loadBootstrap, type ListenerName } from "#proxy/testing/load/bootstrap.ts";
import { memoryOf, resetPeak } from "#proxy/testing/load/memory.ts";
import { startStreamingOrigin, type StreamingOrigin } from "#proxy/testing/load/streaming-origin.ts";
import { startProxy, workspace } from "#proxy/testing/proxy-process.ts";

export interface LoadedProxy {
  readonly runtime: Runtime;
  readonly origin: StreamingOrigin;
  readonly pid: number;
  port(listener: ListenerName): Promise<number>;
  /** A counter or gauge. */
  stat(name: string): Promise<number>;
  /** MB that the proxy's peak is above what was resident before. */
  peakDuring(work: () => Promise<unknown>): Promise<number>;
  stop(): Promise<void>;
}

/** `hastyMs` and `limit` as in `LoadBootstrapOptions`. */
export async function startLoadedProxy(hastyMs: number = 1000, limit: number = 50): Promise<LoadedProxy> {
  const runtime = nodeRuntime({ logLevel: "off" });
  const origin = await startStreamingOrigin(runtime);
  const files = workspace();
  const proxy = await startProxy(files, loadBootstrap({ origin, hastyMs, limit }));
  return {
    runtime,
    origin,
    pid: proxy.pid,
    port: async (listener) => Number((await proxy.address(listener)).split(":").at(-1)),
    stat: async (name) =>
      Number(/: (\d+)/.exec(await proxy.text(`/stats?filter=^${name.replaceAll(".", "\\.")}$`))?.[1]),
    async peakDuring(work) {
      const before = memoryOf(proxy.pid).residentBytes;
      resetPeak(proxy.pid);
      await work();
      return (memoryOf(proxy.pid).peakBytes - before) / 2 ** 20;
    },
    async stop() {
      proxy.kill("SIGKILL");
      await proxy.ended;
      await origin.close();
      files.remove();
    },
  };
}
