#!/usr/bin/env node
/** The data plane as a process: Envoy's command line in front of `createProxyServer`; its workers are started with this too. */
import { enableCompileCache } from "node:module";
import { isMainThread } from "node:worker_threads";

enableCompileCache();

if (isMainThread) {
  const { runProxy } = await import("./server/process.ts");
  await runProxy(process.argv.slice(2), new URL(import.meta.url));
} else {
  const { runWorker } = await import("./workers/worker.ts");
  runWorker();
}
