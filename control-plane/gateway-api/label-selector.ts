/** Kubernetes' label selectors. */
import { type Fields, fieldsOf, listOf, stringMapOf, stringOf, stringsOf } from "../model/read-fields.ts";

/** An empty selector matches everything; an operator that nobody knows matches nothing. */
export function selectorMatches(selector: Fields, labels: Readonly<Record<string, string>>): boolean {
  const own = new Map(Object.entries(labels));
  for (const [key, value] of Object.entries(stringMapOf(selector["matchLabels"]))) {
    if (own.get(key) !== value) return false;
  }
  return listOf(selector["matchExpressions"])
    .map(fieldsOf)
    .every(({ key, operator, values }) => {
      const value = own.get(stringOf(key) ?? "");
      const wanted = stringsOf(values);
      switch (operator) {
        case "In":
          return value !== undefined && wanted.includes(value);
        case "NotIn":
          return value === undefined || !wanted.includes(value);
        case "Exists":
          return value !== undefined;
        case "DoesNotExist":
          return value === undefined;
        default:
          return false;
      }
    });
}
