/** The event that a configuration was read. */
import type { MeshIndex } from "../model/mesh-index.ts";
import type { ControlPlaneEvent } from "../xds/events.ts";

/** `accepted` means that nothing of what is written now was refused. */
export function configEvent(mesh: MeshIndex): ControlPlaneEvent {
  const { problems, version } = mesh;
  return { type: "config", accepted: !problems.some(({ level }) => level === "error"), version, problems };
}
