/** Type URLs of `google.protobuf.Any`. */

/** The full name after the last slash of a type URL. */
export function typeNameOf(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
}

/** `type.googleapis.com/` and the full name. */
export function typeUrlOf(typeName: string): string {
  return `type.googleapis.com/${typeName}`;
}
