/** `glassmesh cert`: looks at certificates, checks them, gets them, and changes the root. */
import { MeshError } from "#lib/problem.ts";
import { rotateRootCommand } from "../cert/rotate-root.ts";
import type { CertAction } from "../cert/types.ts";
import type { Command } from "../command.ts";

const HELP = `glassmesh cert ACTION [arguments]

  rotate-root --prepare | --switch | --finish [--state-dir DIR]
      A new root for a control plane that made its own, without a lost request. --prepare makes it and has every
      workload trust it; --switch has it sign, and every workload gets a new certificate within seconds; --finish
      ends the trust in the old one. Wait between the steps until all have followed (some 30 s). The control plane
      of DIR follows while it runs. DIR: that of the mesh that runs here, where none is named.
`;

const actions: Readonly<Record<string, CertAction>> = {
  "rotate-root": rotateRootCommand,
};

export const cert: Command = {
  name: "cert",
  summary: "certificates: show, verify, issue, export; roots and their rotation",
  help: HELP,
  async run(args, io) {
    const [name = "", ...rest] = args;
    const action = actions[name];
    if (action === undefined) {
      const known = Object.keys(actions).join(", ");
      throw new MeshError("usage", `cert takes one of ${known}, not "${name}"; see \`glassmesh cert --help\``);
    }
    return await action(rest, io);
  },
};
