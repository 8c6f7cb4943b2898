import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Guestbook } from './Guestbook.jsx';
import './style.css';

createRoot(document.getElementById('root')).render(
  <StrictMode>
    <Guestbook />
  </StrictMode>,
);
