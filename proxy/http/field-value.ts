/** Values that come from others' data and become header fields. */

// oxlint-disable-next-line no-control-regex -- controls are what is looked for
const UNSAFE = /[\x00-\x08\x0a-\x1f\x7f\u0100-\uffff]/;

/** No controls but tab, one byte a character (RFC 9110 §5.5): a value that can't end its line. */
export function isSafeFieldValue(value: string): boolean {
  return !UNSAFE.test(value);
}

const NAME = /^[a-z0-9!#$%&'*+.^_`|~-]+$/;

/** A token in lower case. */
export function isFieldName(name: string): boolean {
  return NAME.test(name);
}
