#!/usr/bin/env node
/** The data plane as a process: Envoy's command line in front of `createProxyServer`. */
import { enableCompileCache } from "node:module";

enableCompileCache();

const { runProxy } = await import("./server/process.ts");
await runProxy(process.argv.slice(2));
