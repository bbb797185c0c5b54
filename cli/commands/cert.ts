/** `glassmesh cert`: looks at certificates, checks them, gets them, and changes the root. */
import { MeshError } from "#lib/problem.ts";
import { exportCommand, issueCommand } from "../cert/issue.ts";
import { rootsCommand } from "../cert/roots.ts";
import { showCommand } from "../cert/show.ts";
import { verifyCommand } from "../cert/verify.ts";
import { rotateRootCommand } from "../cert/rotate-root.ts";
import type { CertAction } from "../cert/types.ts";
import type { Command } from "../command.ts";

const HELP = `glassmesh cert ACTION [arguments]

  show WORKLOAD | FILE [-o short|json]
      What a certificate says: of a PEM or DER file, or as the workload's proxy holds it (its admin page /certs).

  verify FILE --roots FILE [--trust-domain NAME]
      Every rule of X.509-SVID validation, one a line; exit code 1 where one does not hold. The roots are PEM or a
      SPIFFE bundle (JWKS); the trust domain is the certificate's own where none is named.

  issue --workload NAME.NAMESPACE [--key ec|rsa] [--ttl TIME] [--out FILE]
      A new certificate from the CA of the running mesh, with the workload's token: key, chain and roots as PEM.

  export --workload NAME.NAMESPACE [-o pem|p12] [--password TEXT] [--ttl TIME] [--out FILE]
      The same with an RSA key, for programs outside; p12 is PKCS#12 and needs a password and a file.

  roots [FILE] [-o short|pem|jwks] [--trust-domain NAME]
      Whom the running mesh trusts, or what a file says; jwks is a SPIFFE bundle.

  rotate-root --prepare | --switch | --finish [--state-dir DIR]
      A new root for a control plane that made its own, without a lost request. --prepare makes it and has every
      workload trust it; --switch has it sign, and every workload gets a new certificate within seconds; --finish
      ends the trust in the old one. Wait between the steps until all have followed (some 30 s). The control plane
      of DIR follows while it runs. DIR: that of the mesh that runs here, where none is named.
`;

const actions: Readonly<Record<string, CertAction>> = {
  show: showCommand,
  verify: verifyCommand,
  issue: issueCommand,
  export: exportCommand,
  roots: rootsCommand,
  "rotate-root": rotateRootCommand,
};

export const cert: Command = {
  name: "cert",
  summary: "certificates: show, verify, issue, export; roots and their rotation",
  help: HELP,
  async run(args, io) {
    const [name = "", ...rest] = args;
    if (rest.includes("--help") || name === "--help") {
      io.out(HELP);
      return 0;
    }
    const action = actions[name];
    if (action === undefined) {
      const known = Object.keys(actions).join(", ");
      throw new MeshError("usage", `cert takes one of ${known}, not "${name}"; see \`glassmesh cert --help\``);
    }
    return await action(rest, io);
  },
};
