// Files of one's own: dropped anywhere on the page, and read as the server takes them.

// What the files hold, by name, in base64.
export async function contents(files) {
  const all = await Promise.all(
    [...files].map(
      (file) =>
        new Promise((resolve, reject) => {
          const reader = new FileReader();
          reader.onload = () => resolve([file.name, reader.result.slice(reader.result.indexOf(",") + 1)]);
          reader.onerror = () => reject(new Error(`${file.name} cannot be read.`));
          reader.readAsDataURL(file);
        }),
    ),
  );
  return Object.fromEntries(all);
}

// Let files be dropped anywhere. onFiles(files): they were.
export function droppable(onFiles) {
  const holds = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let depth = 0;
  const tell = (by) => document.body.classList.toggle("dropping", (depth = by === null ? 0 : Math.max(0, depth + by)) > 0);
  addEventListener("dragenter", (event) => holds(event) && (event.preventDefault(), tell(1)));
  addEventListener("dragleave", (event) => holds(event) && tell(-1));
  addEventListener("dragover", (event) => holds(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!holds(event)) return;
    event.preventDefault();
    tell(null);
    if (event.dataTransfer.files.length) onFiles(event.dataTransfer.files);
  });
}
