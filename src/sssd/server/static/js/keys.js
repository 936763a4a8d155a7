// Whether a key is for the page: not a command of the browser, and not for a field that takes it.
export const isShortcut = (event) =>
  !(event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.target.matches("select, textarea, input:not([type=radio], [type=checkbox], [type=range], [type=file])"));
