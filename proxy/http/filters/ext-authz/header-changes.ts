/** What an authorization service changes of a request and its response, where it may. */
import type { HeaderChange } from "../../../ext-authz/check-result.ts";
import { isFieldName, isSafeFieldValue } from "../../field-value.ts";
import type { HeaderMap } from "../../header-map.ts";

const SETTABLE_PSEUDO = new Set([":path", ":authority", ":method", ":scheme"]);

/** Whether all of them can be sent as they are. */
export function areValid(changes: readonly Pick<HeaderChange, "name" | "value">[], isRequest: boolean): boolean {
  return changes.every(
    ({ name, value }) =>
      (isFieldName(name) || (isRequest && SETTABLE_PSEUDO.has(name) && !/\s/.test(value))) && isSafeFieldValue(value),
  );
}

export function applyChanges(headers: HeaderMap, changes: readonly HeaderChange[]): void {
  for (const change of changes) apply(headers, change);
}

function apply(headers: HeaderMap, { name, value, action, isJoined }: HeaderChange): void {
  const pseudo = name === "host" ? ":authority" : name;
  switch (action) {
    case "overwrite":
      headers.set(pseudo, value);
      return;
    case "overwrite-if-exists":
      if (headers.has(pseudo)) headers.set(pseudo, value);
      return;
    case "add-if-absent":
      if (!headers.has(pseudo)) headers.add(pseudo, value);
      return;
    case "append":
      if (isJoined !== true) headers.add(pseudo, value);
      else if (headers.has(pseudo)) headers.set(pseudo, `${headers.getJoined(pseudo) ?? ""},${value}`);
  }
}

/** Without them there would be no request. */
export function isRemovable(name: string): boolean {
  return name !== "" && !name.startsWith(":") && name !== "host";
}
