#!/usr/bin/env node
/** The agent as a process: an identity and a real Envoy beside it. */
import { enableCompileCache } from "node:module";

enableCompileCache();

const { runAgent } = await import("./process.ts");
await runAgent(process.argv.slice(2));
