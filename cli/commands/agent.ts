/** `glassmesh agent`: the sidecar agent in front of a real Envoy. */
import { fileURLToPath } from "node:url";
import type { Command } from "../command.ts";
import { runInstead } from "../run-instead.ts";

const MAIN = fileURLToPath(new URL("../../proxy/agent/main.ts", import.meta.url));

export const agent: Command = {
  name: "agent",
  summary: "a real Envoy as a sidecar: its certificates over SDS, its bootstrap, its process",
  help: "glassmesh agent -c BOOTSTRAP [options]; `glassmesh agent --help` lists them\n",
  passesHelpOn: true,
  run: (args) => runInstead(MAIN, args),
};
