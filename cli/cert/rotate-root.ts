/** `glassmesh cert rotate-root`: one step of the rotation of a self-signed root. */
import { join } from "node:path";
import { type RotationStep, rotateRoot } from "#certs/root-rotation.ts";
import { MeshError } from "#lib/problem.ts";
import { readArguments, textOption } from "../arguments.ts";
import { findMesh } from "../local/mesh-file.ts";
import type { CertAction } from "./types.ts";

const STEPS: readonly RotationStep[] = ["prepare", "switch", "finish"];

export const rotateRootCommand: CertAction = async (args, io) => {
  const read = readArguments("cert", args, {
    "state-dir": { type: "string" },
    prepare: { type: "boolean" },
    switch: { type: "boolean" },
    finish: { type: "boolean" },
  });
  const [step, ...more] = STEPS.filter((name) => read.values[name] === true);
  if (step === undefined || more.length > 0 || read.positionals.length > 0) {
    throw new MeshError(
      "usage",
      "cert rotate-root takes exactly one of --prepare, --switch and --finish; see `glassmesh cert --help`",
    );
  }
  const directory = textOption(read, "state-dir") ?? join(findMesh(io.env, io.cwd).directory, "control-plane");
  const { signer, others } = await rotateRoot(directory, step, Date.now());
  const name = ({ sha256 }: { readonly sha256: string }): string => sha256.slice(0, 16);
  io.out(`${name(signer)} signs${others.map((other) => `, ${name(other)} is trusted beside it`).join("")}\n`);
  io.err(`${NEXT[step]}\n`);
  return 0;
};

const NEXT: Readonly<Record<RotationStep, string>> = {
  prepare: "Workloads learn the new root within seconds. Next: --switch.",
  switch: "Workloads get certificates of the new root within seconds. Next, when all have them: --finish.",
  finish: "The old root is trusted no more. The rotation is done.",
};
