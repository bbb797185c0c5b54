/** `bootstrap_metadata_labels_key`: labels of the node, which a service is told as those of the destination. */

/** Text values of the struct at `key` of the node's metadata; "": none. */
export function labelsOf(metadata: Readonly<Record<string, unknown>>, key: string): Readonly<Record<string, string>> {
  const labels = key === "" ? undefined : metadata[key];
  if (typeof labels !== "object" || labels === null) return {};
  const entries = Object.entries(labels).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return Object.fromEntries(entries);
}
