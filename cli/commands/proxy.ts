/** `glassmesh proxy`: the data plane, with Envoy's flags. */
import { fileURLToPath } from "node:url";
import type { Command } from "../command.ts";
import { runInstead } from "../run-instead.ts";

const MAIN = fileURLToPath(new URL("../../proxy/main.ts", import.meta.url));

export const proxy: Command = {
  name: "proxy",
  summary: "the data plane, with Envoy's flags (-c, --config-yaml, --mode validate, …)",
  help: "glassmesh proxy [Envoy's flags]; `glassmesh proxy --help` lists them\n",
  passesHelpOn: true,
  run: (args) => runInstead(MAIN, args),
};
