/** How a sidecar of a local mesh is started: our proxy, or a real Envoy behind the agent. */
import type { Programs } from "./programs.ts";

export const DATA_PLANES = ["glassmesh", "envoy"] as const;
export type DataPlane = (typeof DATA_PLANES)[number];

/** Under load a sidecar keeps 114 MB with it and 140 without, at the same CPU time a request. */
const YOUNG_MB = "--max-semi-space-size=4";

export function sidecarCommand(
  {
    programs,
    logLevel,
    dataPlane,
  }: { readonly programs: Programs; readonly logLevel: string; readonly dataPlane: DataPlane },
  bootstrapFile: string,
  drainSeconds: number,
): readonly string[] {
  const flags = ["--drain-time-s", String(drainSeconds), "--file-flush-interval-msec", "200"];
  const common = ["-c", bootstrapFile, "-l", logLevel];
  return dataPlane === "envoy"
    ? [process.execPath, programs.agent, ...common, "--", ...flags]
    : [process.execPath, YOUNG_MB, programs.proxy, ...common, ...flags];
}
