/** How a sidecar of a local mesh is started: our proxy, or a real Envoy behind the agent. */
import type { Programs } from "./programs.ts";

export const DATA_PLANES = ["glassmesh", "envoy"] as const;
export type DataPlane = (typeof DATA_PLANES)[number];

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
  const program = dataPlane === "envoy" ? programs.agent : programs.proxy;
  const own = [process.execPath, program, "-c", bootstrapFile, "-l", logLevel];
  return dataPlane === "envoy" ? [...own, "--", ...flags] : [...own, ...flags];
}
