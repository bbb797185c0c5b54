/** `glassmesh control-plane`: the mini-istiod. */
import { fileURLToPath } from "node:url";
import type { Command } from "../command.ts";
import { runInstead } from "../run-instead.ts";

const MAIN = fileURLToPath(new URL("../../control-plane/main.ts", import.meta.url));

export const controlPlane: Command = {
  name: "control-plane",
  summary: "the control plane: Istio's objects in, xDS and certificates out",
  help: "glassmesh control-plane -f PATH…; `glassmesh control-plane --help` lists its flags\n",
  passesHelpOn: true,
  run: (args) => runInstead(MAIN, args),
};
