/** The `error_detail.message` of a NACK: every bad resource with its problems. */
import type { RejectedResource } from "./types.ts";
import { TypeUrl } from "./types.ts";

const heads: Readonly<Record<string, string>> = {
  [TypeUrl.cluster]: "Error adding/updating cluster(s) ",
  [TypeUrl.listener]: "Error adding/updating listener(s) ",
};

/** `Error adding/updating cluster(s) a: connect_timeout: …; …\nb: …`; other types have no head. */
export function nackMessage(typeUrl: string, rejected: readonly RejectedResource[]): string {
  const lines = rejected.map(({ name, problems }) => {
    const reasons = problems.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; ");
    return name === "" ? reasons : `${name}: ${reasons}`;
  });
  return `${heads[typeUrl] ?? ""}${lines.join("\n")}`;
}
